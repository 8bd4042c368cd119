import { memoryStore } from "bucketcache/memory";
import { storeConformance } from "bucketcache/testing";
import { describe, test } from "vitest";

storeConformance({ describe, test }, async () => memoryStore());
