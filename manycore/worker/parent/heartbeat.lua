-- Says that a worker lives, what it is and what it does, and takes those off the index that have been silent.
--
-- Deleting comes first: a full server runs the script of one that has begun to write to its end.
--
-- KEYS     mc:worker:<name>, mc:activity:<name>, mc:workers, then the mc:tasks:<queue> of its queues
-- ARGV     name, now, since when who was silent is gone, TTL of the first three in seconds, what its slots do,
--          how many others it wants to see, since when a task that nobody has told is gone, TTL of those,
--          how many tasks it knows, these; then its facts: field, text, field, text ...
-- Returns  the names of so many workers, and one more
local now, ttl, tasks = ARGV[2], ARGV[4], tonumber(ARGV[9])
redis.call('zremrangebyscore', KEYS[3], 0, ARGV[3])
redis.call('zadd', KEYS[3], now, ARGV[1])
redis.call('hset', KEYS[1], unpack(ARGV, 10 + tasks))
redis.call('set', KEYS[2], ARGV[5])
for place = 1, 3 do redis.call('expire', KEYS[place], ttl) end
for place = 4, #KEYS do
  for task = 10, 9 + tasks do redis.call('zadd', KEYS[place], now, ARGV[task]) end
  redis.call('zremrangebyscore', KEYS[place], 0, ARGV[7])
  redis.call('expire', KEYS[place], ARGV[8])
end
return redis.call('zrange', KEYS[3], 0, ARGV[6])
