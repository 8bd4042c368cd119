// workerd: in one request, since I/O belongs to the request that began it.
import { start } from "../suite/index.js";

export default {
  async fetch(request: Request): Promise<Response> {
    try {
      await start(new URL(request.url).searchParams.get("url") as string);
      return new Response("done");
    } catch (error) {
      return new Response(String((error as Error).stack), { status: 500 });
    }
  },
};
