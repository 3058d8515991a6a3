-- Somebody needs a function or an archive no more: the last one to say so takes it along.
-- KEYS[1]  mc:ref:<digest>      string
-- KEYS[2]  mc:holders:<digest>  set: who needs it
-- ARGV[1]  the holder
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('SCARD', KEYS[2]) == 0 then return redis.call('UNLINK', KEYS[1], KEYS[2]) end
return 0
