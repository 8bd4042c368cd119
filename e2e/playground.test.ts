import type { Page } from "playwright";
import { describe, expect, test } from "vitest";
import { inPlaywright } from "./support/engines.js";
import { fileOf } from "./support/files.js";
import { complaints, playground, ready, says } from "./support/playground.js";
import { deferred } from "../test/support/deferred.js";

const place = playground();
const MIB = 1 << 20;

inPlaywright((engine) => {
  const open = async (url = place.url): Promise<Page> => {
    const { page } = await engine.tab(url);
    await ready(page);
    return page;
  };
  /** Clicks, and waits until what it began is over. */
  const turn = async (page: Page, button: string) => {
    const turns = () => page.locator("#call-form").getAttribute("data-turns").then(Number);
    const before = await turns();
    await page.getByTestId(button).click();
    await expect.poll(turns).toBe(before + 1);
  };
  const call = async (page: Page, by: "here" | "server") => {
    await turn(page, `call-${by}`);
    return (await page.getByTestId(by === "here" ? "here-result" : "there-result").textContent()) ?? "";
  };
  /** Empties the memory of the server's process too. */
  const restart = (page: Page) => turn(page, "restart");
  const choose = async (page: Page, question: string, choice: string) => {
    await page.getByTestId("question").selectOption(question);
    await page.getByTestId("choice").selectOption(choice);
  };
  const entry = (page: Page, key: string | RegExp) => page.getByTestId("entry").filter({ hasText: key });
  const storeText = async (page: Page, name: string, text: string) => {
    await page.getByTestId("text").fill(text);
    await page.getByTestId("text-name").fill(name);
    await page.getByTestId("text-store").click();
    await page.locator(`[data-testid=upload][data-state=done]`, { hasText: name }).waitFor();
  };

  describe("a call of an expensive function", () => {
    test("goes to the function, then to memory, then, when memory is empty, to the bucket", async () => {
      const page = await open();
      const trouble = complaints(page);
      await choose(page, "neighbours", "LU");
      expect(await call(page, "here")).toMatch(/^computed in /);
      await says(
        page.getByTestId("steps"),
        /Memory.*miss.*Grants.*Bucket.*GET 404.*Function.*computed.*Bucket.*PUT 200/s,
      );
      expect(await call(page, "here")).toMatch(/^from memory in .*faster$/);
      await turn(page, "forget");
      expect(await call(page, "here")).toMatch(/^from the bucket in /);
      await says(page.getByTestId("steps"), /Memory.*miss.*Bucket.*GET 200/s);
      expect(await page.getByTestId("timeline").getByRole("img").getAttribute("aria-label")).toMatch(/Bucket: GET 200/);
      expect(await page.getByTestId("latency").getByRole("img").getAttribute("aria-label")).toMatch(
        /Memory: 1 calls.*Bucket: 1 calls.*Function: 1 calls/,
      );
      expect(await page.getByTestId("stat-calls").textContent()).toBe("0");
      // A lookup that finds nothing is a 404, which browsers report all by themselves.
      expect(trouble.filter((text) => !text.includes("404"))).toEqual([]);
    });

    test("on the server finds what the page computed, and the page what the server computed", async () => {
      const page = await open();
      await restart(page);
      await choose(page, "neighbours", "MT");
      expect(await call(page, "here")).toMatch(/^computed/);
      expect(await call(page, "server")).toMatch(/^from the bucket/);
      expect(await call(page, "server")).toMatch(/^from memory/);
      await choose(page, "neighbours", "LU");
      expect(await call(page, "server")).toMatch(/^computed/);
      expect(await call(page, "here")).toMatch(/^from the bucket/);
      await restart(page);
      expect(await call(page, "server")).toMatch(/^from the bucket/);
    });

    test("100 times at once is computed once; deleted or computed anew, it is so for everyone", async () => {
      const page = await open();
      await choose(page, "neighbours", "LU");
      await turn(page, "call-many");
      await says(page.getByTestId("here-result"), /^computed/);
      await says(page.getByTestId("stat-calls"), /^1$/);
      await says(page.getByTestId("stat-writes"), /^1 /);
      await turn(page, "refresh");
      await says(page.getByTestId("stat-calls"), /^2$/);
      await turn(page, "invalidate");
      await says(page.getByTestId("entries-note"), "There is none yet.");
      expect(await call(page, "here")).toMatch(/^computed/);
    });
  });

  test("while it is busy with one call its buttons say that they take no other, and then they do again", async () => {
    const page = await open();
    const released = deferred();
    await page.route("**/cache", async (route) => {
      await released.promise;
      await route.continue();
    });
    await choose(page, "neighbours", "LU");
    await page.getByTestId("call-here").click();
    const states = () =>
      Promise.all(
        ["call-here", "call-server", "call-many", "forget", "invalidate", "refresh", "restart"].map((id) =>
          page.getByTestId(id).getAttribute("aria-disabled"),
        ),
      );
    await expect.poll(async () => new Set(await states())).toEqual(new Set(["true"]));
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset["testid"])).toBe("call-here");
    await page.getByTestId("call-stop").waitFor();
    // A click all the same begins nothing.
    await page.getByTestId("call-server").dispatchEvent("click");
    released.resolve();
    await says(page.getByTestId("here-result"), /^computed/);
    await expect.poll(async () => new Set(await states())).toEqual(new Set([null]));
    expect(await page.getByTestId("there-result").textContent()).toBe("");
    expect(await call(page, "server")).toMatch(/^from the bucket|^from memory/);
  });

  describe("an upload", () => {
    test("of a file shows its progress and its ratio, and Node reads what was chosen", async () => {
      const page = await open();
      await page.getByTestId("file").setInputFiles(fileOf("places.csv", 12 * MIB));
      const line = page.getByTestId("upload");
      await says(line, /12\.6 MB stored as 6\.\d+ MB, gzip [\d.]+× smaller/);
      await says(entry(page, "uploads/places.csv"), /gzip · text\/csv/);
      let size = 0;
      for await (const chunk of (await place.cache.getStream("uploads/places.csv"))!) size += chunk.byteLength;
      expect(size).toBe(12 * MIB);
    });

    test("of a text is stored plain or compressed, as the knob says", async () => {
      const page = await open();
      const text = "the same words again and again, ".repeat(100);
      await page.getByTestId("gzip").selectOption("never");
      await storeText(page, "plain.txt", text);
      await page.getByTestId("gzip").selectOption("always");
      await storeText(page, "small.txt", text);
      const sizes = await Promise.all(
        ["uploads/plain.txt", "uploads/small.txt"].map(async (key) => (await place.cache.getEntry(key))?.size),
      );
      expect(sizes[0]).toBe(text.length);
      expect(sizes[1]).toBeLessThan(text.length / 10);
      expect(await place.cache.get("uploads/small.txt")).toBe(text);
    });

    test("that is aborted half-way says so, and leaves nothing", async () => {
      const page = await open();
      const aborted = deferred();
      let parts = 0;
      await page.route(/[?&]partNumber=/, async (route) => {
        if (++parts <= 2) return route.continue();
        await aborted.promise;
        // The page has given it up by now.
        await route.abort().catch(() => {});
      });
      await page.getByTestId("gzip").selectOption("never");
      await page.getByTestId("generate").click();
      await says(page.getByTestId("upload-text"), /10\.5 MB sent/);
      await page.getByTestId("upload-abort").click();
      aborted.resolve();
      await says(page.getByTestId("upload"), "aborted: nothing of it is in the bucket");
      expect(await place.cache.has("uploads/measurements.csv")).toBe(false);
    });
  });

  describe("the entries", () => {
    test("of the server are listed with what is left of their lives, opened, and deleted", async () => {
      await place.cache.set("reports/by-node", { country: "PT", places: [1, 2, 3] }, { ttl: "10m" });
      await place.cache.set("reports/for-ever", "no end");
      const page = await open();
      const row = entry(page, "reports/by-node");
      await says(row.getByTestId("ttl-left"), /^(10 min 0 s|9 min \d+ s)$/);
      const before = await row.getByTestId("ttl-left").textContent();
      await expect.poll(() => row.getByTestId("ttl-left").textContent()).not.toBe(before);
      await says(entry(page, "reports/for-ever"), "for ever");
      await row.getByTestId("entry-open").click();
      await says(page.getByTestId("viewer-content"), /"country": "PT"/);
      await says(page.getByTestId("viewer-facts"), /application\/json/);
      await page.keyboard.press("Escape");
      await expect.poll(() => page.getByTestId("viewer").isVisible()).toBe(false);
      await row.getByTestId("entry-delete").click();
      await expect.poll(() => row.count()).toBe(0);
      expect(await place.cache.has("reports/by-node")).toBe(false);
    });

    test("that the page writes live as long as the knob says, and are gone then", async () => {
      const page = await open();
      await page.getByTestId("ttl").selectOption("10s");
      await storeText(page, "brief.txt", "brief");
      const row = entry(page, "uploads/brief.txt");
      await says(row.getByTestId("ttl-left"), /^[1-9] s$/);
      await says(row.getByTestId("ttl-left"), /^expired/);
      await row.getByTestId("entry-open").click();
      await says(page.getByTestId("viewer-content"), "no longer there");
    });

    test("are handed off as a link that a second page opens without a server, and as one for other programs", async () => {
      const page = await open();
      await storeText(page, "shared.txt", "read me elsewhere");
      await entry(page, "uploads/shared.txt").getByTestId("entry-handoff").click();
      await expect.poll(() => page.getByTestId("handoff-url").inputValue()).toMatch(/^http/);
      expect(await page.getByTestId("qr").getByRole("img").count()).toBe(1);
      await says(page.getByTestId("handoff-life"), /min/);
      const link = await page.getByTestId("handoff-link").inputValue();
      const plain = await fetch(await page.getByTestId("handoff-url").inputValue());
      expect(await plain.text()).toBe("read me elsewhere");
      expect(plain.headers.get("content-disposition")).toContain("shared.txt");
      const second = (await engine.tab(link)).page;
      const asked: string[] = [];
      second.on("request", (request) => asked.push(request.url()));
      await says(second.getByTestId("shared-content"), "read me elsewhere");
      await second.getByTestId("again").click();
      await says(second.getByTestId("shared-facts"), /This grant.*ends in/s);
      await place.cache.delete("uploads/shared.txt");
      await second.reload();
      await says(second.getByTestId("shared-content"), "no longer there");
      expect(asked.filter((url) => url.includes("/cache") || url.includes("/api/"))).toEqual([]);
    });

    test("of a damaged link say what is wrong with it", async () => {
      const { page } = await engine.tab(new URL("/shared.html#grant=AAAA", place.url).href);
      await says(page.getByTestId("failure"), "damaged");
    });
  });

  describe("the knobs", () => {
    test("take the page offline: what is in memory stays, and the rest says why it fails", async () => {
      const page = await open();
      await choose(page, "neighbours", "LU");
      expect(await call(page, "here")).toMatch(/^computed/);
      await page.getByTestId("offline").check();
      expect(await call(page, "here")).toMatch(/^from memory/);
      await page.getByTestId("reload").click();
      await says(page.getByTestId("entries-note"), "ERR_UNAVAILABLE");
      await page.getByTestId("offline").uncheck();
      await page.getByTestId("reload").click();
      await says(page.getByTestId("entries-note"), /^1, /);
    });

    test("make the bucket fail: the function runs all the same, and the log has the error", async () => {
      const page = await open();
      await page.getByTestId("trouble").selectOption("down");
      await choose(page, "neighbours", "LU");
      expect(await call(page, "here")).toMatch(/^computed/);
      await says(page.getByTestId("log"), /ERR_UNAVAILABLE/);
      await page.getByTestId("trouble").selectOption("none");
      expect(await place.cache.has("anything")).toBe(false);
    });

    test.each(["2", "-2"])("make the page's clock wrong by %s hours, which changes nothing", async (hours) => {
      const page = await open();
      await page.getByTestId("skew").selectOption(hours);
      await storeText(page, "skewed.txt", "by a wrong clock");
      const written = await place.cache.getEntry("uploads/skewed.txt");
      expect(Math.abs(Number(written?.expiresAt) - Date.now() - 600_000)).toBeLessThan(60_000);
      await restart(page);
      await choose(page, "neighbours", "LU");
      expect(await call(page, "server")).toMatch(/^computed/);
      expect(await call(page, "here")).toMatch(/^from the bucket/);
      expect(await call(page, "here")).toMatch(/^from memory/);
    });
  });

  test("a note that one tab saves is seen by the other, which had the old one in memory", async () => {
    const [one, two] = [await open(), await open()];
    for (const page of [one, two]) await says(page.getByTestId("note-value"), "There is no note yet.");
    const save = async (page: Page, text: string) => {
      await page.getByTestId("note-input").fill(text);
      await page.getByTestId("note-save").click();
      await says(page.getByTestId("note-source"), /^from memory/);
    };
    await save(one, "from one");
    await says(two.getByTestId("note-value"), "from one");
    await two.getByTestId("note-read").click();
    await says(two.getByTestId("note-source"), /^from memory/);
    await save(two, "from two");
    await says(one.getByTestId("note-value"), "from two");
  });

  test("the keyboard alone reaches and works everything, and the focus is seen", async () => {
    const page = await open();
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("To the content");
    const seen: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement;
        const style = getComputedStyle(element.matches(".visually-hidden") ? element.parentElement! : element);
        const isMarked = style.outlineStyle !== "none" || style.boxShadow !== "none";
        return { id: element.dataset["testid"] ?? "", isMarked };
      });
      expect(focused, JSON.stringify(focused)).toMatchObject({ isMarked: true });
      seen.push(focused.id);
      if (focused.id === "log") break;
    }
    for (const id of [
      "theme",
      "question",
      "choice",
      "call-here",
      "call-server",
      "file",
      "text",
      "note-input",
      "ttl",
      "offline",
    ]) {
      expect(seen).toContain(id);
    }
    await choose(page, "neighbours", "LU");
    await page.getByTestId("call-here").focus();
    await page.keyboard.press("Enter");
    await says(page.getByTestId("here-result"), /^computed/);
    await says(entry(page, "neighbours/"), /json/);
    await entry(page, "neighbours/").getByTestId("entry-open").focus();
    await page.keyboard.press("Enter");
    await says(page.getByTestId("viewer-facts"), /Read from/);
    await page.keyboard.press("Escape");
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset["testid"])).toBe("entry-open");
  });
});
