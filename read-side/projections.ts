/** Every projection there is: start here to find what answers a question. */
import { authors } from './authors/projection.js';
import { cheeps } from './cheeps/projection.js';
import { commands } from './commands/projection.js';
import type { Projection } from './projection.js';
import { timelines } from './timelines/projection.js';

export const projections: Projection[] = [authors, cheeps, timelines, commands];
