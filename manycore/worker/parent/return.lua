-- Puts a delivery back where it was taken from, as if it had not been; one whose lease was lost is another's by now.
--
-- Deleting comes first: a full server runs the script of one that has begun to write to its end.
--
-- KEYS     manycore-unacked, manycore-unacked-index, the list, the bell of its queue: see take.lua
-- ARGV     delivery tag, its queue as JSON, TTL of a bell in seconds
local delivery, tail = redis.call('hget', KEYS[1], ARGV[1]), ',"",' .. ARGV[2] .. ']'
if not delivery or string.sub(delivery, -#tail) ~= tail then return end
redis.call('hdel', KEYS[1], ARGV[1])
redis.call('zrem', KEYS[2], ARGV[1])
redis.call('rpush', KEYS[3], string.sub(delivery, 2, -#tail - 1))
redis.call('zadd', KEYS[4], 0, '')
redis.call('expire', KEYS[4], ARGV[3])
