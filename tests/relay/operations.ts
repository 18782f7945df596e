/**
 * The operations of relay.test.ts, as an application with Relay has them. Relay's compiler makes `__generated__` of them, and of
 * `schema.graphql`:
 *
 *     cd tests/relay && npx relay-compiler@21.0.1 relay.config.json
 *
 * The compiler is no dependency of this project, since it takes 118 MB. The test says when an operation was changed and not compiled.
 */
import { graphql } from 'relay-runtime';

export const documents = () => [
  graphql`
    query operationsProfileQuery($id: ID!, $count: Int!) {
      author(id: $id) {
        id
        cheeps(first: $count) @connection(key: "Profile_cheeps") {
          edges {
            cursor
            node {
              id
              message
              inReplyTo {
                __typename
                ... on Cheep {
                  id
                  message
                }
                ... on DeletedCheep {
                  id
                  cheepId
                }
              }
            }
          }
        }
        followers(first: $count) @connection(key: "Profile_followers") {
          edges {
            cursor
            node {
              id
              username
            }
          }
        }
        following(first: $count) @connection(key: "Profile_following") {
          edges {
            cursor
            node {
              id
              username
            }
          }
        }
      }
    }
  `,
  graphql`
    query operationsThreadQuery($id: ID!, $count: Int!) {
      cheep(id: $id) {
        id
        message
        author {
          username
        }
        ancestors {
          __typename
          ... on Cheep {
            message
          }
          ... on DeletedCheep {
            cheepId
          }
        }
        replies(first: $count) @connection(key: "Thread_replies") {
          edges {
            cursor
            node {
              id
              message
            }
          }
        }
      }
    }
  `,
  graphql`
    query operationsNotificationsQuery($count: Int!) {
      viewer {
        id
        username
      }
      notifications(first: $count) @connection(key: "Notifications_notifications") {
        unreadCount
        edges {
          node {
            __typename
            id
            read
            ... on FollowNotification {
              follower {
                username
              }
            }
            ... on ReplyNotification {
              cheep {
                message
              }
            }
          }
        }
      }
    }
  `,
  graphql`
    query operationsNodesQuery($ids: [ID!]!) {
      nodes(ids: $ids) {
        __typename
        id
        ... on Author {
          username
        }
        ... on Cheep {
          message
        }
        ... on DeletedCheep {
          cheepId
        }
        ... on Notification {
          at
        }
        ... on Command {
          name
        }
      }
    }
  `,
  graphql`
    mutation operationsPostMutation($input: PostCheepInput!, $cheeps: [ID!]!, $replies: [ID!]!) {
      postCheep(input: $input) {
        cheepEdge @prependEdge(connections: $cheeps) {
          cursor
          node {
            id
            message
          }
        }
        replyEdge: cheepEdge @appendEdge(connections: $replies) {
          cursor
          node {
            id
            message
          }
        }
      }
    }
  `,
  graphql`
    mutation operationsFollowMutation($input: FollowAuthorInput!, $followers: [ID!]!, $following: [ID!]!) {
      followAuthor(input: $input) {
        followerEdge @prependEdge(connections: $followers) {
          cursor
          node {
            id
            username
          }
        }
        followingEdge @prependEdge(connections: $following) {
          cursor
          node {
            id
            username
          }
        }
      }
    }
  `,
  graphql`
    mutation operationsDeleteMutation($input: DeleteCheepInput!) {
      deleteCheep(input: $input) {
        cheepId @deleteRecord
      }
    }
  `,
];
