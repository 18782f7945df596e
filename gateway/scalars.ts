/** The two scalars of the contract, from graphql-scalars, under the contract's names. */
import { GraphQLScalarType } from 'graphql';
import { GraphQLDateTimeISO, GraphQLLocalDate } from 'graphql-scalars';

export const DateTime = new GraphQLScalarType<Date, string>({
  ...GraphQLDateTimeISO.toConfig(),
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
