/** A subscription's cursor: which change of which journal was the last that was seen. Opaque to clients. */
import { z } from 'zod';
import { BadTokenError, decode, encode, EPOCH } from '../shared/token.js';
import { fault } from './errors.js';

export interface Resume {
  position: number;
  /** Among the changes of one event; null after all of them. */
  index: number | null;
}

const shape = z.strictObject({
  e: z.string().regex(EPOCH),
  p: z.number().int().min(0),
  i: z.number().int().min(0).nullable(),
});

export const resumeCursor = (epoch: string, { position, index }: Resume): string => encode({ e: epoch, p: position, i: index });

/** @throws BAD_USER_INPUT */
export function parseResumeCursor(cursor: string): Resume & { epoch: string } {
  try {
    const { e, p, i } = decode(cursor, shape, 'cursor of a subscription');

    return { epoch: e, position: p, index: i };
  } catch (error) {
    if (error instanceof BadTokenError) throw fault('BAD_USER_INPUT', error.message, { argument: 'after' });
    throw error;
  }
}
