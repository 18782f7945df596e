/** `cheeper history`: what was it then, and what has changed since? Read from the journal alone, so also of what was deleted. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { readConfig } from '../shared/config.js';
import type { JournalEntry } from '../shared/messages/event.js';
import { id as idRule } from '../shared/rules.js';
import {
  AGGREGATES,
  difference,
  fold,
  readAggregateEntries,
  until,
  type AggregateName,
  type AggregateState,
  type Moment,
} from '../write-side/as-of.js';
import { createPool } from '../write-side/database.js';
import { OperatorError, UsageError, type Subcommand } from './subcommand.js';

const USAGE = `cheeper history author|cheep ID [--as-of MOMENT | --diff MOMENT MOMENT] [--json]
cheeper history follow FOLLOWER:FOLLOWED …
cheeper history like LIKER:CHEEP …

  ID        the id of the author or cheep; of a follow or like, its two ids with a colon between them
  MOMENT    a time, such as 2026-11-21T05:00:00Z, or 2026-11-21 for the beginning of that day (UTC);
            or a position in the journal, such as 1234. All that happened by then counts.
  --as-of   as it was at that moment; without, as it is now
  --diff    what is not the same at the second moment as at the first
  --json    for programs: one JSON document

The settings are those of the write side: MYSQL_URL.`;

export const history: Subcommand = {
  summary: 'An author, cheep, follow or like as it was at any time, from the journal.',
  usage: USAGE,
  async run(args, print) {
    const { name, id, asOf, diff, json } = parse(args);
    const { MYSQL_URL } = readConfig(['MYSQL_URL']);
    const entries = await readEntries(MYSQL_URL, name, id);
    if (entries.length === 0) throw new OperatorError(`There never was a ${name} ${id}.`);
    const then = (moment: Moment | null) => describe(moment ? until(entries, moment) : entries);
    if (diff) {
      const [from, to] = [then(diff[0]), then(diff[1])];
      const changes = difference(from.state, to.state);
      print(json ? JSON.stringify({ type: name, id, from, to, changes }) : [`${name} ${id}`, ...changesText(changes, from, to)].join('\n'));
    } else {
      const found = then(asOf);
      print(json ? JSON.stringify({ type: name, id, ...found }) : [`${name} ${id}`, ...stateText(found)].join('\n'));
    }
  },
};

interface Arguments {
  name: AggregateName;
  id: string;
  asOf: Moment | null;
  diff: [Moment, Moment] | null;
  json: boolean;
}

/** @throws UsageError */
function parse(args: string[]): Arguments {
  const { tokens, values } = parsed(args);
  // The second moment of --diff is the word right after the first.
  const diffAt = tokens.findIndex((token) => token.kind === 'option' && token.name === 'diff');
  const second = diffAt < 0 ? undefined : tokens[diffAt + 1];
  if (diffAt >= 0 && second?.kind !== 'positional') throw new UsageError('--diff takes two moments.');
  const positionals = tokens.flatMap((token) => (token.kind === 'positional' && token !== second ? token.value : []));
  const [name, id, ...others] = positionals;
  if (name === undefined || !isAggregateName(name)) {
    throw new UsageError(`Of what? One of ${Object.keys(AGGREGATES).join(', ')}, then its id. cheeper history --help tells more.`);
  }
  if (id === undefined) throw new UsageError(`Of which ${name}? Its id is missing.`);
  if (others.length > 0) throw new UsageError(`${JSON.stringify(others[0])} is too much.`);
  if (values['as-of'] !== undefined && values.diff !== undefined) throw new UsageError('--as-of and --diff do not go together.');

  return {
    name,
    id: aggregateId(name, id),
    asOf: values['as-of'] === undefined ? null : momentOf(values['as-of']),
    diff: second?.kind === 'positional' ? [momentOf(values.diff!), momentOf(second.value)] : null,
    json: values.json ?? false,
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      tokens: true,
      options: { 'as-of': { type: 'string' }, diff: { type: 'string' }, json: { type: 'boolean' } },
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // The first sentence; what follows is advice that does not fit.
    if (code?.startsWith('ERR_PARSE_ARGS')) throw new UsageError(message.replace(/(\. To |\n).*$/s, '.'));
    throw error;
  }
}

const isAggregateName = (name: string): name is AggregateName => Object.hasOwn(AGGREGATES, name);

function aggregateId(name: AggregateName, text: string): string {
  const parts = text.split(':').map((part) => idRule.safeParse(part));
  const wanted = name === 'follow' || name === 'like' ? 2 : 1;
  if (parts.length !== wanted || !parts.every((part) => part.success)) {
    throw new UsageError(`${JSON.stringify(text)} is no ${name}’s id: ${wanted === 1 ? 'a UUID' : 'two UUIDs with a colon between them'}.`);
  }

  return parts.map((part) => part.data).join(':');
}

const time = z.union([z.iso.datetime({ offset: true }), z.iso.date()]);

function momentOf(text: string): Moment {
  const position = /^\d{1,15}$/.test(text) ? Number(text) : null;
  if (position !== null) return { position };
  if (!time.safeParse(text).success) {
    throw new UsageError(
      `${JSON.stringify(text)} is not a moment: a time with its zone, such as 2026-11-21T05:00:00Z, a day, or a position.`,
    );
  }

  return { at: Date.parse(text) };
}

async function readEntries(mysqlUrl: string, name: AggregateName, id: string): Promise<JournalEntry[]> {
  const pool = createPool(mysqlUrl);
  try {
    return await readAggregateEntries(pool, name, id);
  } catch (error) {
    // What MySQL says, and what the network says, has a code.
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined) throw new OperatorError(`MySQL cannot be asked: ${message || code}`);
    throw error;
  } finally {
    await pool.end();
  }
}

interface Described {
  /** The last entry that counts; null when it was not there yet. */
  last: { position: number; at: string; event: string; schemaVersion: number } | null;
  state: AggregateState | null;
}

function describe(entries: JournalEntry[]): Described {
  const last = entries.at(-1);

  return {
    last: last ? { position: last.position, at: last.at, event: last.event.type, schemaVersion: last.schemaVersion } : null,
    state: fold(entries),
  };
}

const line = (field: string, text: string) => `  ${field.padEnd(12)} ${text}`;
const lastText = ({ last }: Described) => (last ? `${last.event} at position ${last.position}, ${last.at}` : 'not there yet');

const stateText = (found: Described): string[] => [
  line('as of', lastText(found)),
  ...Object.entries(found.state ?? {}).map(([field, value]) => line(field, JSON.stringify(value))),
];

const changesText = (changes: ReturnType<typeof difference>, from: Described, to: Described): string[] => [
  line('from', lastText(from)),
  line('to', lastText(to)),
  ...changes.map((change) => line(change.field, `${JSON.stringify(change.from)} → ${JSON.stringify(change.to)}`)),
  ...(changes.length === 0 ? ['  Nothing is different.'] : []),
];
