-- Acknowledges a delivery; with it goes what is known of how far its chunk is, unless the chunk is to come again.
--
-- A delivery whose lease was lost meanwhile is another's, or in its queue: that one must find that nothing is left.
--
-- KEYS[1]  manycore-unacked-index  zset: delivery tag -> lease      KEYS[2]  manycore-unacked  hash: tag -> message
-- KEYS[3]  mc:<batch>:resume       see child/begin.lua; absent for a message that is no chunk's
-- ARGV     delivery tag, chunk id
redis.call('zrem', KEYS[1], ARGV[1])
local held = redis.call('hdel', KEYS[2], ARGV[1])
if held == 1 and KEYS[3] then redis.call('hdel', KEYS[3], ARGV[2]) end
return held
