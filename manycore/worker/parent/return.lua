-- Returns a message to where it was taken from, as if it had not been.
--
-- Deleting comes first: a full server runs the script of one that has begun to write to its end.
--
-- KEYS     manycore-unacked, manycore-unacked-index, the list, the bell of its queue: see take.lua
-- ARGV     delivery tag, message, TTL of a bell in seconds
redis.call('hdel', KEYS[1], ARGV[1])
redis.call('zrem', KEYS[2], ARGV[1])
redis.call('rpush', KEYS[3], ARGV[2])
redis.call('zadd', KEYS[4], 0, '')
redis.call('expire', KEYS[4], ARGV[3])
