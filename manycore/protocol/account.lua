-- Tells the account of a batch something: what it is, what came of some of its items, how it ended. All times are the
-- server's own (epoch seconds), so that no other clock matters.
--
-- KEYS[1] mc:account:<batch>   hash
-- KEYS[2] mc:accounts          zset: key of an account -> when it was last told
-- KEYS[3] mc:told:<teller>     string: this teller's last report, so that one that is sent again counts once (optional)
-- ARGV[1] how many seconds the account stays
-- ARGV[2] how many accounts may be; those that were told of longest ago leave
-- ARGV[3] JSON, each part optional:
--   report  what names this report among those of its teller
--   begins  true: it runs again, whatever its end was
--   facts   field -> text, written unless it is known
--   set     field -> text, written; `idle` is 1 while all that there is of it has an outcome, else 0
--   seen    true: its client lives
--   counts  field -> number, added, unless the batch has ended
--   ran     how many microseconds the counted items ran, likewise (with what is written anyway: a call has no command more)
--   errors  name -> {number, the first one's traceback}, likewise; of so many names only
--   end     how it ended
--   ago     how many seconds ago that was
local account, index = KEYS[1], KEYS[2]
local told = cjson.decode(ARGV[3])
local MOST_NAMES, POINTS, LOOKED_AT = 12, 128, 200
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 - (told.ago or 0)
local stamp = string.format('%.3f', now)

local function get(field)
  return redis.call('HGET', account, field)
end

local function keep(key)
  local seconds = tonumber(ARGV[1])
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end

-- Takes those off the index that are gone by their TTL, among the oldest: none that is there should leave for them.
local function forget_expired()
  local gone = 0
  for _, key in ipairs(redis.call('ZRANGE', index, 0, LOOKED_AT - 1)) do
    if redis.call('EXISTS', key) == 0 then gone = gone + redis.call('ZREM', index, key) end
  end
  return gone
end

-- Lets the account stay, and others leave for it.
local function enlist()
  keep(account)
  redis.call('ZADD', index, stamp, account)
  keep(index)
  local surplus = redis.call('ZCARD', index) - tonumber(ARGV[2])
  if surplus > 0 then surplus = surplus - forget_expired() end
  local leaving = surplus > 0 and redis.call('ZPOPMIN', index, surplus) or {}
  for place = 1, #leaving, 2 do redis.call('UNLINK', leaving[place]) end
end

-- `at:<i>` is how many items were done in the `step`s seconds that end with the (i + 1)th; when there are too many such
-- points, each second one is left. Writes how long items `ran`, too. Says whether this is a new point.
local function mark_progress(started, step, ran)
  local at = math.floor(math.max(0, now - started) / step)
  while at >= POINTS do
    for point = 0, POINTS / 2 - 1 do
      local done = get('at:' .. 2 * point + 1) or get('at:' .. 2 * point)
      redis.call('HDEL', account, 'at:' .. 2 * point, 'at:' .. 2 * point + 1)
      if done then redis.call('HSET', account, 'at:' .. point, done) end
    end
    step = step * 2
    at = math.floor((now - started) / step)
    redis.call('HSET', account, 'step', step)
  end
  local done = get('done') or 0
  return redis.call('HSET', account, 'last', stamp, 'ran', string.format('%.0f', ran), 'at:' .. at, done) > 0
end

local function count_errors(name, number, traceback)
  if redis.call('HEXISTS', account, 'trace:' .. name) == 0 then
    if redis.call('HINCRBY', account, 'names', 1) > MOST_NAMES then
      name = 'others'
    end
    redis.call('HSETNX', account, 'trace:' .. name, traceback)
  end
  redis.call('HINCRBY', account, 'error:' .. name, number)
end

if told.report then
  if redis.call('GET', KEYS[3]) == told.report then return 0 end
  redis.call('SET', KEYS[3], told.report, 'EX', 300)
end
local resumes = told.begins or (told.set and told.set.idle == 0 and get('idle') == '1')
if told.begins then redis.call('HDEL', account, 'end', 'ended', 'detached', 'idle') end
local known = redis.call('HMGET', account, 'ended', 'started', 'step', 'task', 'total', 'ran')
if told.counts and known[1] then return 0 end

if told['end'] then redis.call('HDEL', account, 'end') end -- first, so that a full server takes an end: see flag.lua
local is_new = not known[2]
if is_new then
  redis.call('HSET', account, 'started', stamp)
elseif resumes then  -- its rate and its silence count from now
  redis.call('HSET', account, 'resumed', stamp, 'before', get('done') or 0)
end
if told.facts and not (known[4] and known[5]) then
  for field, text in pairs(told.facts) do redis.call('HSETNX', account, field, text) end
end
for field, text in pairs(told.set or {}) do redis.call('HSET', account, field, text) end
if told.seen then redis.call('HSET', account, 'seen', stamp) end
if told.counts then
  for field, number in pairs(told.counts) do redis.call('HINCRBY', account, field, number) end
  for name, error in pairs(told.errors or {}) do count_errors(name, error[1], error[2]) end
end
if told.counts or told['end'] then
  local ran = (tonumber(known[6] or 0) or 0) + (told.ran or 0)
  is_new = mark_progress(tonumber(known[2] or now), tonumber(known[3] or 1), ran) or is_new
end
if told['end'] then redis.call('HSET', account, 'end', told['end'], 'ended', stamp) end
if is_new or not told.counts then enlist() end
return 1
