-- Adds what items wrote to the log of their batch, and bounds it, and how many batches have one.
--
-- KEYS[1]  mc:<batch>:log  stream; fields of an entry: l (its JSON), b (bytes of the log up to its end, left out or not)
-- KEYS[2]  mc:logs         zset: key of a log -> when it was last written (epoch of the server)
-- ARGV     TTL in seconds, most bytes of a log, most logs, entries...

local log, index = KEYS[1], KEYS[2]
local most = tonumber(ARGV[2])

local function mark(entry)
  return tonumber(entry[2][4]) or 0
end

local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local total = newest and mark(newest) or 0
local id
for place = 4, #ARGV do
  total = total + #ARGV[place]
  id = redis.call('XADD', log, '*', 'l', ARGV[place], 'b', string.format('%.0f', total))
end
while true do
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if oldest[1] == id or total - mark(oldest) + #(oldest[2][2] or '') <= most then break end
  redis.call('XDEL', log, oldest[1])
end

local function keep(key)
  local seconds = tonumber(ARGV[1])
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end

keep(log)
redis.call('ZADD', index, redis.call('TIME')[1], log)
keep(index)
local surplus = redis.call('ZCARD', index) - tonumber(ARGV[3])
local leaving = surplus > 0 and redis.call('ZPOPMIN', index, surplus) or {}
for place = 1, #leaving, 2 do redis.call('UNLINK', leaving[place]) end
return total
