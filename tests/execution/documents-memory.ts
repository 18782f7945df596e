/**
 * How much memory documents hold that are kept parsed, in a process of its own, with `--expose-gc`: checks 2,000 that are all different, each as
 * large as one of its kind can be, and tells by how many bytes the heap has grown. Its output is a line of JSON.
 */
import 'reflect-metadata';
import { Operations } from '../../gateway/operations.js';
import type { ClientAddress } from '../../gateway/origins.js';
import { createSchema } from '../../gateway/schema.js';

const DOCUMENTS = 2_000;

const times = (n: number, make: (i: number) => string, between = ' ') => Array.from({ length: n }, (_, i) => make(i)).join(between);
const KINDS: ((i: number) => string)[] = [
  (i) => `{ nodes(ids: [${times(1_900, (k) => `1${i}${k}`)}]) { id } }`,
  (i) => `{ ${times(1_990, (k) => `#${i}${k}\n`, '')} __typename }`,
  (i) => `{ author(id: "${i}${'\\u20ac'.repeat(16_000)}") { id } }`,
  (i) => `{ a${i}: __typename${' '.repeat(99_000)}}`,
  (i) => `{ viewer { ${times(200, () => 'id')} a${i}: name } }`,
];

const [ADDRESS, OTHER] = ['192.0.2.1', '192.0.2.2'].map((network) => ({ network, isLoopback: false })) as [ClientAddress, ClientAddress];
const operations = new Operations(createSchema());
global.gc!();
const before = process.memoryUsage().heapUsed;
let checked = 0;
for (let i = 0; i < DOCUMENTS; i++) {
  // As it comes in a request: a text of its own.
  const query = Buffer.from(KINDS[i % KINDS.length]!(i)).toString();
  if (Array.isArray(operations.check({ query }, ADDRESS)))
    throw new Error(`${JSON.stringify(operations.check({ query }, ADDRESS))} of ${query.slice(0, 1_000)}`);
  // Half of them are asked for from elsewhere too.
  if (i < DOCUMENTS / 2) operations.check({ query }, OTHER);
  checked += 1;
}
global.gc!();
console.log(JSON.stringify({ held: process.memoryUsage().heapUsed - before, estimated: operations.bytes, checked }));
