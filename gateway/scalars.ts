/** The two scalars of the contract, from graphql-scalars, under the contract's names. */
import { GraphQLScalarType } from 'graphql';
import { GraphQLDateTimeISO, GraphQLLocalDate } from 'graphql-scalars';

/** A time of the journal is text as it is shown: to make a `Date` of each, and text of that, took 4 % of a page of a timeline. */
export const DateTime = new GraphQLScalarType<Date, string>({
  ...GraphQLDateTimeISO.toConfig(),
  serialize: (value) => (typeof value === 'string' && value.endsWith('Z') ? value : GraphQLDateTimeISO.serialize(value)),
  name: 'DateTime',
  description: 'ISO 8601, UTC.',
  specifiedByURL: null,
  extensions: {},
});

export const CalendarDate = new GraphQLScalarType<string, string>({
  ...GraphQLLocalDate.toConfig(),
  name: 'Date',
  description: 'ISO 8601 calendar date.',
  specifiedByURL: null,
  extensions: {},
});
