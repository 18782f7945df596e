/** Ids: any UUID, in lower case. */
import { crc32 } from 'node:zlib';
import { v5, v7 } from 'uuid';

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A new id, ordered by time (UUIDv7, RFC 9562), so that it is kind to an index. */
export const newId = (): string => v7();

/** Stands for the sender of a sign-up, who is nobody until it is done. */
export const NOBODY = '00000000-0000-0000-0000-000000000000';

/** The sender of what nobody asked for: commands that follow from an event. */
export const SYSTEM = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

// A random constant: it makes our derived ids ours. Changing it would break every retry that is under way.
const CHEEPER = '5b0a9c54-6a0e-4a8e-9d0e-0f5a7c9f6d21';

/** The id of the new thing that a command makes: the same command always makes the same thing. */
export const derivedId = (sender: string, commandId: string): string => v5(`${sender}/${commandId}`, CHEEPER);

/** Which of `parts` parts (lanes, shards) a key belongs to: 0 to parts − 1. For ever the same, in every process. */
export const partOf = (key: string, parts: number): number => crc32(key) % parts;
