-- Notes that a named batch was sent whole, unless it was deleted meanwhile: nothing of it may come back.
-- KEYS[1]  mc:batch:<id>, a hash
-- ARGV[1]  how many items it has
-- Returns  whether the batch is still there.
if redis.call('hexists', KEYS[1], 'function') == 0 then return 0 end
redis.call('hset', KEYS[1], 'total', ARGV[1])
return 1
