/**
 * @generated SignedSource<<5b737862e8c94045232d7ff505640e47>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import { ConcreteRequest } from 'relay-runtime';
export type WaitFor = "ACCEPTED" | "COMMITTED" | "PROJECTED" | "%future added value";
export type DeleteCheepInput = {
  cheepId: string;
  commandId?: string | null | undefined;
  waitFor?: WaitFor | null | undefined;
};
export type operationsDeleteMutation$variables = {
  input: DeleteCheepInput;
};
export type operationsDeleteMutation$data = {
  readonly deleteCheep: {
    readonly cheepId: string | null | undefined;
  };
};
export type operationsDeleteMutation = {
  response: operationsDeleteMutation$data;
  variables: operationsDeleteMutation$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "input"
  }
],
v1 = [
  {
    "kind": "Variable",
    "name": "input",
    "variableName": "input"
  }
],
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cheepId",
  "storageKey": null
};
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsDeleteMutation",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": "DeleteCheepPayload",
        "kind": "LinkedField",
        "name": "deleteCheep",
        "plural": false,
        "selections": [
          (v2/*:: as any*/)
        ],
        "storageKey": null
      }
    ],
    "type": "Mutation",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "operationsDeleteMutation",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": "DeleteCheepPayload",
        "kind": "LinkedField",
        "name": "deleteCheep",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "filters": null,
            "handle": "deleteRecord",
            "key": "",
            "kind": "ScalarHandle",
            "name": "cheepId"
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "feda19ae470647250eef618b10263856",
    "id": null,
    "metadata": {},
    "name": "operationsDeleteMutation",
    "operationKind": "mutation",
    "text": "mutation operationsDeleteMutation(\n  $input: DeleteCheepInput!\n) {\n  deleteCheep(input: $input) {\n    cheepId\n  }\n}\n"
  }
};
})();

(node as any).hash = "ffeff9bf5ba103e9e6d97a22a89c99cd";

export default node;
