-- Counts the death of one execution, and says how many deaths its item or function has by now.
--
-- An execution is an item (or function) and the run that ran it, so a death that is reported twice counts once.
--
-- KEYS[1]  mc:<batch>:strikes  hash: "<subject>" -> how it died last, as JSON; "deaths <subject>" and
--                              "claims <subject>" -> the runs that it died in, or is under way in, as words;
--                              "named <run>" -> the subject that a death in this run was blamed on; "" if on none
-- ARGV     subject, run, how it died, TTL in seconds

local subject, run = ARGV[1], ARGV[2]

local function without(name)
  local kept = {}
  for word in string.gmatch(redis.call('hget', KEYS[1], name) or '', '%S+') do
    if word ~= run then kept[#kept + 1] = word end
  end
  return kept
end

local deaths, claims = without('deaths ' .. subject), without('claims ' .. subject)
deaths[#deaths + 1] = run
redis.call('hset', KEYS[1], 'deaths ' .. subject, table.concat(deaths, ' '), subject, ARGV[3], 'named ' .. run, subject)
if #claims > 0 then
  redis.call('hset', KEYS[1], 'claims ' .. subject, table.concat(claims, ' '))
else
  redis.call('hdel', KEYS[1], 'claims ' .. subject)
end
redis.call('expire', KEYS[1], ARGV[4])
return #deaths
