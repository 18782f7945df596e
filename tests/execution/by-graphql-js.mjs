/** For `node --import`: a gateway that executes by graphql-js itself, and is the same in all else. */
import { registerHooks } from 'node:module';

const executor = new URL('graphql-js-executor.mjs', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === './executor.js' && context.parentURL?.endsWith('/gateway/http.js')
      ? { url: executor, shortCircuit: true }
      : next(specifier, context),
});
