import { Refused } from '../../shared/refused.js';
import type { Profile, UpdateProfile } from '../../shared/messages/author.js';
import type { Change } from '../../shared/messages/event.js';
import type { CommandHandler } from '../command-handler.js';

const FIELDS = ['name', 'biography', 'location', 'website', 'birthDate'] as const satisfies (keyof Profile)[];

/** A field that is absent stays as it is; one that is null is cleared. */
export const updateProfile: CommandHandler<UpdateProfile> = {
  needs: ({ authorId }) => ({ authors: [authorId] }),
  decide({ authorId, ...fields }, state) {
    const author = state.authors.get(authorId);
    if (!author) throw new Refused('AUTHOR_NOT_FOUND');
    const named = FIELDS.filter((field) => fields[field] !== undefined);
    if (named.length === 0) throw new Refused('NOTHING_TO_CHANGE');
    const changed = named.filter((field) => fields[field] !== author[field]);
    if (changed.length === 0) return [];
    const changes: Record<string, Change<string | null>> = {};
    for (const field of changed) changes[field] = { from: author[field], to: fields[field]! };

    return [{ type: 'AuthorProfileUpdated', authorId, changes }];
  },
};
