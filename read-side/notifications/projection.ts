import { at, defineProjection, everywhere } from '../projection.js';
import { packId } from '../shard.js';
import { MAX_NOTIFICATIONS, NOTIFICATIONS, type StoredNotification } from './query.js';

// Names of keys here and in query.ts are the same; see the table there.
const lua = `
local UUID_LENGTH = 36

-- What is unread is counted anew each time, so that nothing is counted twice.
local function unread(reader)
  local readUpTo = redis.call('HGET', key('read'), reader) or '0'
  return redis.call('ZCOUNT', key('list:' .. reader), '(' .. readUpTo, '+inf')
end

-- A call can have a few thousand arguments.
local function forget(reader, ids)
  for first = 1, #ids, 500 do
    local last = math.min(first + 499, #ids)
    redis.call('ZREM', key('list:' .. reader), unpack(ids, first, last))
    redis.call('HDEL', key('rows:' .. reader), unpack(ids, first, last))
  end
end

functions.notify = function(position, reader, id, sequence, row, cheep)
  local list, rows = key('list:' .. reader), key('rows:' .. reader)
  redis.call('ZADD', list, sequence, id)
  redis.call('HSET', rows, id, row)
  if cheep ~= '' then redis.call('SADD', key('about:' .. cheep), reader .. id) end
  local over = redis.call('ZCARD', list) - ${MAX_NOTIFICATIONS}
  if over > 0 then
    local oldest = redis.call('ZRANGE', list, 0, over - 1)
    for _, old in ipairs(oldest) do
      local about = cjson.decode(redis.call('HGET', rows, old)).notice.cheepId
      if about then redis.call('SREM', key('about:' .. about), reader .. old) end
    end
    forget(reader, oldest)
  end
  log(position, 'type', 'added', 'reader', reader, 'unread', isLogged(position) and unread(reader) or 0, 'row', row)
  return 5
end

functions.read = function(position, reader, upTo)
  local before = tonumber(redis.call('HGET', key('read'), reader) or '0')
  if tonumber(upTo) > before then redis.call('HSET', key('read'), reader, upTo) end
  log(position, 'type', 'read', 'reader', reader, 'unread', unread(reader))
  return 2
end

functions.drop = function(position, cheep)
  local about = key('about:' .. cheep)
  local members = redis.call('SMEMBERS', about)
  if #members == 0 then return 1 end
  local readers, byReader = {}, {}
  for _, member in ipairs(members) do
    local reader = string.sub(member, 1, UUID_LENGTH)
    if not byReader[reader] then
      byReader[reader] = {}
      table.insert(readers, reader)
    end
    table.insert(byReader[reader], string.sub(member, UUID_LENGTH + 1))
  end
  -- In an order of its own, so that each has the same place in the log when this is run again.
  table.sort(readers)
  for _, reader in ipairs(readers) do
    forget(reader, byReader[reader])
    log(position, 'type', 'removed', 'reader', reader, 'unread', unread(reader))
  end
  redis.call('DEL', about)
  return 1 + 2 * #members
end
`;

export const notifications = defineProjection(
  NOTIFICATIONS,
  {
    AuthorNotified: ({ notificationId: id, recipientId, sequence, notice }, entry) => {
      const row: StoredNotification = { id, sequence, at: entry.at, notice };
      const cheepId = 'cheepId' in notice ? notice.cheepId : '';

      return [at(recipientId, 'notify', recipientId, packId(id), sequence, JSON.stringify(row), cheepId)];
    },
    NotificationsRead: ({ authorId, upTo }) => [at(authorId, 'read', authorId, upTo)],
    // Whom it was told to is known to the shards only.
    CheepDeleted: ({ cheepId }) => [everywhere('drop', cheepId)],
  },
  lua,
);
