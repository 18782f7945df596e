/**
 * Executes random documents by the gateway's executor and by graphql-js, and compares answers and calls of resolvers. It is a process of its own,
 * since graphql-js leaves rejected promises behind that nobody waits for, which end a process that does not say otherwise.
 *
 * EXECUTOR_SEED and EXECUTOR_RUNS say which documents, and how many. Its output ends with a line of JSON, a `Comparison`; when something differs, all that is
 * needed to look into it stands before that, and it ends with 1.
 */
import 'reflect-metadata';
import {
  buildSchema,
  execute,
  getOperationAST,
  GraphQLError,
  parse,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import type { Context } from '../../gateway/context.js';
import { Executor, MAX_ERRORS } from '../../gateway/executor.js';
import { createSchema } from '../../gateway/schema.js';
import { sample, seedOf, type Sample } from './documents.js';
import { enter, fake, newWorld } from './fakes.js';
import { Random } from './random.js';

export interface Comparison {
  seed: number;
  documents: number;
  /** Not valid, so not executed. */
  invalid: number;
  executions: number;
  /** Executions whose answer has errors; that called resolvers; whose variables were refused. */
  withErrors: number;
  calls: number;
  /** Of all answers. */
  characters: number;
  refused: number;
  /** Of the processor. */
  seconds: number;
}

/** What the product's schema has not: lists of lists, arguments with defaults, interfaces of interfaces, input objects with defaults. */
const OTHER_SCHEMA = `
  interface Being { id: ID!, next(by: Int = 1): Being }
  interface Animal implements Being { id: ID!, next(by: Int = 1): Being, name(of: Size! = SMALL, in: [Size!]): String, friends: [Animal!]! }
  type Cat implements Being & Animal { id: ID!, next(by: Int = 1): Cat, name(of: Size! = SMALL, in: [Size!]): String, friends: [Animal!]!, lives: Int! }
  type Dog implements Being & Animal { id: ID!, next(by: Int = 1): Being, name(of: Size! = SMALL, in: [Size!]): String, friends: [Animal!]!, good: Boolean!, cat: Cat! }
  type Stone implements Being { id: ID!, next(by: Int = 1): Being, grid: [[Float!]!], holes: [[Stone]!]!, sizes: [Size], flat: [Boolean!]! }
  union Thing = Cat | Stone
  enum Size { SMALL LARGE }
  input Filter { size: Size = LARGE, not: Filter, all: [Filter!], ids: [ID!] = ["a", "b"], sizes: [[Size]], n: Int!, f: Float, s: String = "s" }
  type Query {
    being(id: ID!): Being
    beings(first: Int = 3, where: Filter = { n: 1 }, ids: [ID]): [Being]
    things(where: Filter!, and: [Filter!]! = []): [Thing!]!
    cat(ids: [[ID!]!]): Cat!
    stone: Stone
    text(s: String, sizes: [Size!]! = [SMALL]): String!
  }
  type Mutation { feed(id: ID!, with: Filter): Cat!, move(to: Float, sizes: [[Size]]): Stone, rename(s: String!): Thing }
`;

const seed = Number(process.env['EXECUTOR_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
const runs = Number(process.env['EXECUTOR_RUNS'] ?? 1_000);
const TROUBLE = [0, 0, 0.1, 0.5];

const schemas = [createSchema(), buildSchema(OTHER_SCHEMA)];
schemas.forEach(fake);
const executors = schemas.map((schema) => new Executor(schema));

/** Nothing of it is used. */
const context = {} as Context;
// Thousands of errors are made, and nobody reads where.
Error.stackTraceLimit = 0;
let isOurs = false;
const unheard: unknown[] = [];
process.on('unhandledRejection', (error) => {
  if (isOurs) unheard.push(error);
});

const comparison: Comparison = {
  seed,
  documents: 0,
  invalid: 0,
  executions: 0,
  withErrors: 0,
  calls: 0,
  characters: 0,
  refused: 0,
  seconds: 0,
};
const before = process.cpuUsage();
for (let i = 0; i < runs; i++) {
  const which = i % 3 === 2 ? 1 : 0;
  const schema = schemas[which]!;
  const random = new Random(seedOf(seed, i));
  const made = sample(schema, random);
  comparison.documents += 1;
  const document = validDocument(schema, made);
  if (!document) comparison.invalid += 1;
  else await compare(i, schema, executors[which]!, document, made, random);
}
const { user, system } = process.cpuUsage(before);
comparison.seconds = (user + system) / 1e6;
console.log(JSON.stringify(comparison));

function validDocument(schema: GraphQLSchema, { text }: Sample): DocumentNode | null {
  let document: DocumentNode;
  try {
    document = parse(text);
  } catch (error) {
    if (error instanceof GraphQLError) return null;
    throw error;
  }
  const invalid = validate(schema, document);
  if (invalid.length > 0 && process.env['EXECUTOR_INVALID'])
    console.log(
      text,
      invalid.map(({ message }) => message),
    );

  // An executor that changed a document would change what others execute.
  return invalid.length > 0 ? null : frozen(document);
}

/** Each request by graphql-js, then all twice by the executor: its plan is made, and used again. */
async function compare(
  i: number,
  schema: GraphQLSchema,
  executor: Executor,
  document: DocumentNode,
  made: Sample,
  random: Random,
): Promise<void> {
  const expected: Played[] = [];
  const worlds = made.requests.map(() => [random.below(1_000_000), random.pick(TROUBLE)] as const);
  for (const [j, { operationName, variables }] of made.requests.entries()) {
    const played = await play(worlds[j]!, () =>
      execute({ schema, document, operationName, variableValues: variables, contextValue: context }),
    );
    expected.push(played);
    comparison.executions += 1;
    comparison.calls += played.calls.length;
    comparison.characters += played.answer.length;
    if (played.hasErrors) comparison.withErrors += 1;
    if (!played.hasData) comparison.refused += 1;
  }
  isOurs = true;
  for (const j of [0, 1, 0]) {
    const { operationName, variables } = made.requests[j]!;
    const operation = getOperationAST(document, operationName) ?? undefined;
    const played = await play(worlds[j]!, () => executor.execute({ document, operation, operationName, variables, context }));
    const { answer, calls } = expected[j]!;
    if (played.answer === answer && played.calls.join('\n') === calls.join('\n') && unheard.length === 0) continue;
    console.log(
      `Document ${i} of seed ${seed} (EXECUTOR_SEED=${seed} EXECUTOR_RUNS=${i + 1}):\n${made.text}\n`,
      JSON.stringify(made.requests[j]),
    );
    console.log('graphql-js:', answer, `\nexecutor:  `, played.answer);
    const at = calls.findIndex((call, k) => call !== played.calls[k]);
    if (at >= 0 || played.calls.length > calls.length)
      console.log(`calls differ from ${at}:`, calls.slice(at, at + 2), played.calls.slice(at, at + 2));
    if (unheard.length > 0) console.log('nobody waits for', unheard);
    process.exit(1);
  }
  isOurs = false;
}

interface Played {
  answer: string;
  calls: string[];
  hasErrors: boolean;
  hasData: boolean;
}

async function play(
  [worldSeed, trouble]: readonly [number, number],
  run: () => ExecutionResult | Promise<ExecutionResult>,
): Promise<Played> {
  const world = newWorld(worldSeed, trouble);
  enter(world);
  const result = await run();
  // Of more the executor says only that there are more.
  const errors = result.errors?.slice(0, MAX_ERRORS);
  const answer = `${JSON.stringify({ ...result, errors })}\n${(errors ?? []).map(detailsOf).join('\n')}`;
  // Resolvers may go on after an answer: nothing here takes longer than this round of the loop.
  await new Promise(setImmediate);

  return { answer, calls: world.calls, hasErrors: result.errors !== undefined, hasData: result.data !== undefined };
}

/** What Apollo and the gateway look at, and an answer does not show. */
function detailsOf({ nodes, positions, originalError, source, extensions }: GraphQLError): string {
  return JSON.stringify([nodes?.map(({ kind, loc }) => [kind, loc?.start]), positions, String(originalError), source?.name, extensions]);
}

function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  // Tokens are a list as long as the document, and nobody's to change.
  if (value.constructor?.name === 'Location') return value;
  for (const part of Object.values(value)) frozen(part);

  return value;
}
