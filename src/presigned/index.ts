/** All of the presigned store that is not needed to make one: loaded in one piece when there is first work for it. */
export { grantStore } from "./grant-store.js";
export { handlerStore } from "./handler-store.js";
