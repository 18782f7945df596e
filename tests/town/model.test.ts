/** The model's own arithmetic, where it is easy to get wrong. */
import { describe, expect, it } from '@jest/globals';
import { namesIn, percentile, Town, type Command } from './model.js';

const nobody = { name: null, biography: null, location: null, website: null, birthDate: null };
const town = () => {
  const model = new Town();
  let position = 0;
  const run = (command: Command) => model.run(command, { position: ++position, at: new Date(position * 1_000).toISOString() });
  for (const username of ['bob', 'Alice', 'carol']) {
    const authorId = username.toLowerCase();
    run({ name: 'SignUp', authorId, username, email: `${authorId}@example.org`, password: 'x', profile: nobody });
  }

  return { model, run };
};

describe('names in a message', () => {
  it.each([
    ['hello @bob, and @ALICE!', ['@bob', '@ALICE']],
    ['bob@example.org é@bob _@bob 7@bob', []],
    ['@bo @bobé @' + 'a'.repeat(31), []],
    ['@@bob @bob@alice #@bob x=@bob', []],
    ['https://example.org/@bob https://example.org/a,@bob', []],
    ['@bob/@alice の@bob ＠bob =@bob', ['@bob', '@alice', '@bob', '＠bob', '@bob']],
    ['@bob.smith @bob-smith @bob. @bob-', ['@bob', '@bob']],
    ['👩‍👩‍👧 @bob👍', ['@bob']],
  ])('%s', (message, names) => {
    expect(namesIn(message).map(({ start, end }) => message.slice(start, end))).toEqual(names);
  });

  it('are the first 20', () => {
    expect(namesIn('@abc '.repeat(25))).toHaveLength(20);
  });
});

it.each([
  [[], 0.5, null],
  [[3], 0.9, 3],
  [[4, 1, 3, 2], 0.5, 2],
  [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.9, 9],
])('of %j, %d take no longer than %s', (numbers, share, expected) => {
  expect(percentile(numbers, share)).toBe(expected);
});

describe('the model of a town', () => {
  it('orders followers by the follow, also when it is a second one', () => {
    const { model, run } = town();
    run({ name: 'FollowAuthor', authorId: 'alice', followedId: 'bob' });
    run({ name: 'FollowAuthor', authorId: 'carol', followedId: 'bob' });
    run({ name: 'UnfollowAuthor', authorId: 'alice', followedId: 'bob' });
    run({ name: 'FollowAuthor', authorId: 'alice', followedId: 'bob' });

    expect(model.followersOf('bob').map(({ id }) => id)).toEqual(['alice', 'carol']);
    expect(model.notificationsOf('bob').map(({ notice }) => notice.kind)).toEqual(['FOLLOW', 'FOLLOW', 'WELCOME']);
  });

  it('tells an author of one cheep once, and of none that is deleted', () => {
    const { model, run } = town();
    run({ name: 'PostCheep', authorId: 'bob', cheepId: '1', message: 'hello', inReplyTo: null });
    run({ name: 'PostCheep', authorId: 'carol', cheepId: '2', message: '@bob @bob @alice @carol', inReplyTo: '1' });
    run({ name: 'EditCheep', authorId: 'carol', cheepId: '2', message: 'nobody' });
    run({ name: 'EditCheep', authorId: 'carol', cheepId: '2', message: '@bob' });
    expect(model.notificationsOf('bob').map(({ notice }) => notice.kind)).toEqual(['REPLY', 'WELCOME']);
    expect(model.notificationsOf('alice').map(({ notice }) => notice.kind)).toEqual(['MENTION', 'WELCOME']);
    expect(model.notificationsOf('carol').map(({ notice }) => notice.kind)).toEqual(['WELCOME']);

    run({ name: 'DeleteCheep', authorId: 'carol', cheepId: '2' });
    expect(model.unreadCountOf('bob')).toBe(1);
    expect(model.repliesTo('1')).toEqual([]);
  });

  it('lets mentions follow the author, and gives a name that is free to whoever comes', () => {
    const { model, run } = town();
    run({ name: 'PostCheep', authorId: 'carol', cheepId: '1', message: '@bob', inReplyTo: null });
    expect(run({ name: 'ChangeUsername', authorId: 'alice', username: 'BOB' })).toEqual({ code: 'USERNAME_TAKEN', field: ['username'] });
    expect(run({ name: 'ChangeUsername', authorId: 'bob', username: 'rob' })).toBeNull();
    expect(run({ name: 'ChangeUsername', authorId: 'alice', username: 'BOB' })).toBeNull();

    expect(model.cheeps.get('1')!.mentions).toEqual([{ start: 0, end: 4, authorId: 'bob' }]);
    expect(model.byUsername('bob')!.id).toBe('alice');
  });
});
