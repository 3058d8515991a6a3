-- Takes an execution off the count: it has come to its end, and took no process along.
--
-- If its chunk had come again meanwhile, since its worker was silent for too long, it was taken for dead: that is undone.
--
-- KEYS[1]  mc:<batch>:strikes  see strike.lua
-- ARGV     subject, run

local subject, run = ARGV[1], ARGV[2]

local function drop(name)
  local kept = {}
  for word in string.gmatch(redis.call('hget', KEYS[1], name) or '', '%S+') do
    if word ~= run then kept[#kept + 1] = word end
  end
  if #kept > 0 then
    redis.call('hset', KEYS[1], name, table.concat(kept, ' '))
  else
    redis.call('hdel', KEYS[1], name)
  end
  return #kept
end

drop('claims ' .. subject)
if redis.call('hget', KEYS[1], 'named ' .. run) == subject then
  redis.call('hdel', KEYS[1], 'named ' .. run)
  if drop('deaths ' .. subject) == 0 then redis.call('hdel', KEYS[1], subject) end
end
