-- Says of a batch that it is stopped, or deleted.
--
-- Deleting comes first, though it be nothing: a full server runs the script of one that has begun to write to its end.
--
-- KEYS[1]  mc:batch:<id>  hash
-- ARGV     field, what it says, how many seconds it stays at least
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
if redis.call('ttl', KEYS[1]) < tonumber(ARGV[3]) then redis.call('expire', KEYS[1], ARGV[3]) end
