-- Begins a run of a chunk; if another run has begun it before, takes it over: from then on, that one can report no more.
--
-- What the other run may have begun without a claim is this run's to be careful with, unless its death was seen.
--
-- KEYS[1]  mc:<batch>:resume   hash: chunk id -> "first,start,stop,careful,begun,run,before", see protocol/resume.py
-- KEYS[2]  mc:<batch>:strikes  see strike.lua
-- KEYS[3]  mc:batch:<batch>    hash: its flag `cancelled`, and its `mark`
-- ARGV     chunk id, start, stop, run, TTL in seconds, first
-- Returns  the chunk's field as it is now, the flag, the mark, and the strikes of the batch: not of this chunk alone,
--          for what was lost and sent again comes as a new message. What is counted from then on counts this run too.
--          Asked twice by one run, it is the same.

local id, run = ARGV[1], ARGV[4]
local now = redis.call('hget', KEYS[1], id) or ''
local start, stop, careful, begun, other, before =
  string.match(now, '^%d+,(%d+),(%d+),(%d+),(%d+),([^,]+),([^,]*)$')

if other ~= run then
  if not start then -- nobody's yet, or what nobody of ours wrote
    start, stop, careful, before = ARGV[2], ARGV[3], ARGV[2], ''
  else
    if tonumber(start) >= tonumber(careful) then before = '' end
    if redis.call('hexists', KEYS[2], 'named ' .. other) == 0 then
      careful = math.max(tonumber(careful), tonumber(begun)) -- what the runs before may have begun stays suspect
      before = before == '' and other or before .. ' ' .. other
    end
  end
  now = table.concat({ARGV[6], start, stop, careful, stop, run, before}, ',')
  redis.call('hset', KEYS[1], id, now)
  redis.call('expire', KEYS[1], ARGV[5])
end
local batch = redis.call('hmget', KEYS[3], 'cancelled', 'mark')
return {now, batch[1], batch[2], redis.call('hgetall', KEYS[2])}
