-- Ends a run of a chunk in one step: its last outcomes are written, nothing of it is left, its message is acknowledged.
--
-- If another run has taken the chunk over, what is known of it is that run's. A delivery whose lease was lost meanwhile
-- is another's, or in its queue: that one must find that nothing is left. Outcomes come first: a full server refuses
-- them, and then all of it.
--
-- KEYS[1]  mc:<batch>:resume       see begin.lua
-- KEYS[2]  mc:<batch>:out          stream
-- KEYS[3]  manycore-unacked        hash: delivery tag -> message
-- KEYS[4]  manycore-unacked-index  zset: delivery tag -> lease
-- ARGV     chunk id, run, its field, TTL in seconds, TTL of the stream, delivery tag, then outcomes (signed blocks)
-- Returns  the other run, '' if there is none; and whether the message was acknowledged (1) here.

for i = 7, #ARGV do redis.call('xadd', KEYS[2], '*', 'o', ARGV[i]) end
redis.call('expire', KEYS[2], ARGV[5])
local known = redis.call('hget', KEYS[1], ARGV[1]) or ''
local other = string.match(known, '^%d+,%d+,%d+,%d+,%d+,([^,]+),')
if other and other ~= ARGV[2] then return {other, 0} end
local held = redis.pcall('hdel', KEYS[3], ARGV[6])
if held == 1 then
  redis.pcall('zrem', KEYS[4], ARGV[6])
  redis.call('hdel', KEYS[1], ARGV[1])
  return {'', 1}
end
redis.call('hset', KEYS[1], ARGV[1], ARGV[3])
redis.call('expire', KEYS[1], ARGV[4])
return {'', 0}
