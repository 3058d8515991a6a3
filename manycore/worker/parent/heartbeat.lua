-- Says that a worker lives, what it is and what it does, and takes those off the index that have been silent.
--
-- Deleting comes first: a full server runs the script of one that has begun to write to its end.
--
-- KEYS     mc:worker:<name>, mc:activity:<name>, mc:workers
-- ARGV     name, now, since when who was silent is gone, TTL of all three in seconds, what its slots do,
--          how many others it wants to see; then its facts: field, text, field, text ...
-- Returns  the names of so many workers, and one more
redis.call('zremrangebyscore', KEYS[3], 0, ARGV[3])
redis.call('zadd', KEYS[3], ARGV[2], ARGV[1])
redis.call('hset', KEYS[1], unpack(ARGV, 7))
redis.call('set', KEYS[2], ARGV[5])
for _, key in ipairs(KEYS) do redis.call('expire', key, ARGV[4]) end
return redis.call('zrange', KEYS[3], 0, ARGV[6])
