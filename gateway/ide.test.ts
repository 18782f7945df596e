import { expect, it } from '@jest/globals';
import { Kind, parse, specifiedRules, validate } from 'graphql';
import { EXAMPLES } from './ide.js';
import { createSchema } from './schema.js';

it('shows operations that are all valid, each by a name of its own', () => {
  const document = parse(EXAMPLES);
  const names = document.definitions.map((definition) => definition.kind === Kind.OPERATION_DEFINITION && definition.name?.value);

  expect(names).not.toContain(undefined);
  expect(validate(createSchema(), document, specifiedRules)).toEqual([]);
  for (const line of EXAMPLES.split('\n')) expect(line.length).toBeLessThanOrEqual(78);
});
