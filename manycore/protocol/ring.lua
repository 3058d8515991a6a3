-- Rings the bell of a queue: one worker that waits for it wakes, and looks for what to take (`worker/parent/take.lua`).
-- KEYS[1]  mc:bell:<queue>  zset of one member, whatever it was before
-- ARGV[1]  TTL in seconds
if type(redis.pcall('zadd', KEYS[1], 0, '')) == 'table' then -- an error
  redis.call('del', KEYS[1])
  redis.call('zadd', KEYS[1], 0, '')
end
redis.call('expire', KEYS[1], ARGV[1])
