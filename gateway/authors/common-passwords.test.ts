import { describe, expect, it } from '@jest/globals';
import { isCommonPassword } from './common-passwords.js';

describe('a password that everybody tries first', () => {
  it.each(
    (
      'password Password PASSWORD1 12345678 123456789 1234567890 qwertyuiop QwertyUiop iloveyou sunshine princess football baseball trustno1 ' +
      'passw0rd password123 letmein123 1q2w3e4r5t 11111111 00000000 aaaaaaaa abcdefgh 87654321 0987654321 12341234 123123123 19841984 ' +
      'poiuytrewq asdasdasd 1qaz2wsx starwars superman'
    ).split(' '),
  )('is %s', (password) => expect(isCommonPassword(password)).toBe(true));

  it.each([
    'correct horse',
    'correct horse battery',
    'correct horse battery staple',
    'Zürich ist schön',
    '🙂🙃🙂🙃🙂🙂🙂🙃',
    'hunter2hunter3',
    'abcdefgi',
  ])('is not %s', (password) => expect(isCommonPassword(password)).toBe(false));
});
