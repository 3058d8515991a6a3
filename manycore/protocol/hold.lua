-- Lets somebody hold a function or an archive: it stays until its last holder has released it, or until its TTL.
-- KEYS[1]  mc:ref:<digest>      string
-- KEYS[2]  mc:holders:<digest>  set: who needs it
-- ARGV[1]  the holder    ARGV[2]  how many seconds it is to live at least
-- ARGV[3]  what to store; '' where it should be there already
-- Returns  1 if it is there now
redis.call('SADD', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL') end
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) < tonumber(ARGV[2]) then redis.call('EXPIRE', key, ARGV[2]) end
end
return redis.call('EXISTS', KEYS[1])
