/**
 * How much memory plans hold, in a process of its own, with `--expose-gc`: executes documents that are all different, each as large as one can be, and
 * tells by how many bytes the heap has grown. Its output is a line of JSON.
 */
import { buildSchema, getOperationAST, parse } from 'graphql';
import type { Context } from '../../gateway/context.js';
import { Executor } from '../../gateway/executor.js';
import { PARSE_OPTIONS } from '../../gateway/document-size.js';

/** Of each kind: several times as many as are remembered. */
const DOCUMENTS = 80;

const schema = buildSchema('type Query { a: Query, b: Query, c: Int }');
for (const name of ['a', 'b']) schema.getQueryType()!.getFields()[name]!.resolve = () => ({});

/** Fragments that double ten times, and take as many words besides as may be. */
function nested(i: number): string {
  const levels = Array.from({ length: 10 }, (_, level) => `fragment F${level} on Query { a { ...F${level + 1} } b { ...F${level + 1} } }`);

  return `{ ...F0 } ${levels.join(' ')} fragment F10 on Query { c${i}: c }`;
}

/** As many fields as may be, which a variable doubles. */
function wide(i: number): string {
  const fields = Array.from({ length: 480 }, (_, j) => `c${j}_${i}: c`);

  return `query ($s: Boolean = false) { ${fields.join(' ')} d: c @skip(if: $s) }`;
}

const executor = new Executor(schema);
const context = {} as Context;
global.gc!();
const before = process.memoryUsage().heapUsed;
for (let i = 0; i < DOCUMENTS; i++) {
  for (const make of [nested, wide]) {
    const document = parse(make(i), PARSE_OPTIONS);
    const operation = getOperationAST(document)!;
    for (const variables of [{}, { s: true }]) {
      const { errors } = await executor.execute({ document, operation, operationName: undefined, variables, context });
      if (errors) throw errors[0]!;
    }
  }
}
global.gc!();
console.log(JSON.stringify({ held: process.memoryUsage().heapUsed - before, estimated: executor.plannedBytes }));
