import { describe, expect, it } from '@jest/globals';
import { buildSchema, parse, print } from 'graphql';
import { Shapes } from './shapes.js';

const schema = buildSchema(`
  type Query { nothing: Boolean }
  type Subscription { ticks(of: ID): Tick! }
  type Tick { n: Int!, times(by: Int = 1): Int! }
`);
const of = (shapes: Shapes, query: string, operationName?: string, variableValues?: Record<string, unknown>) =>
  shapes.of({ schema, document: parse(query), operationName: operationName ?? null, variableValues: variableValues ?? null });

describe('the shape of a subscription', () => {
  it('is the same for all that make the same of a frame, and keeps nothing else of what they have sent', () => {
    const shapes = new Shapes();
    const first = of(shapes, 'subscription A { ticks { n } }');
    const forget = shapes.keep(first);
    const others = [
      of(shapes, 'subscription A {\n  # in another layout\n  ticks { n }\n}'),
      of(shapes, 'subscription A($of: ID) { ticks(of: $of) { n } }', 'A', { of: 'alice' }),
      of(shapes, `subscription A { ticks { n } } query B { nothing } fragment C on Tick { n }`, 'A'),
    ];
    for (const other of others) expect(other).toBe(first);
    forget();
    expect(of(shapes, 'subscription A { ticks { n } }')).not.toBe(first);
    expect(print(first.args.document)).toBe('subscription A {\n  ticks {\n    n\n  }\n}');
    const beside = of(shapes, 'subscription A { ticks { n } } query B { nothing }', 'A');
    expect(print(beside.args.document)).toBe(print(first.args.document));
  });

  it('differs where something else is asked for, by variables too', () => {
    const shapes = new Shapes();
    const by = 'subscription ($by: Int) { ticks { times(by: $by) } }';
    const all = [
      of(shapes, 'subscription { ticks { n } }'),
      of(shapes, 'subscription { ticks { m: n } }'),
      of(shapes, by),
      of(shapes, by, undefined, { by: 2 }),
      of(shapes, by, undefined, { by: 3 }),
      of(shapes, 'subscription ($by: Int = 4) { ticks { times(by: $by) } }'),
    ];
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  it('knows how many values may be in a frame', () => {
    const aliases = Array.from({ length: 100 }, (_, i) => `n${i}: n`).join(' ');
    const { values } = of(new Shapes(), `subscription { ticks { ${aliases} } }`);
    expect(values).toBeGreaterThanOrEqual(100);
    expect(values).toBeLessThan(110);
  });
});
