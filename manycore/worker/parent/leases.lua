-- Moves leases; one whose delivery was restored meanwhile is left alone (`xx`).
--
-- Deleting comes first, though it be nothing: a full server runs the script of one that has begun to write to its end.
--
-- KEYS[1]  manycore-unacked-index
-- ARGV     the new score, the delivery tags
redis.call('zrem', KEYS[1], '')
for place = 2, #ARGV do redis.call('zadd', KEYS[1], 'xx', ARGV[1], ARGV[place]) end
