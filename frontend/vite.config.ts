import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { poModules } from "./po.mjs";

export default defineConfig(({ mode }) => ({
  base: "/static/",
  plugins: [svelte(), poModules()],
  build: {
    outDir: mode === "bench" ? "dist-bench" : "dist", // the bench's entry is never part of what is served
    manifest: true,
    assetsInlineLimit: 0, // the page's policy allows fonts from our own origin only
    rollupOptions: { input: mode === "bench" ? "src/bench/topology.ts" : "src/main.ts" },
  },
  server: { fs: { allow: [".", "../portal/locale"] } }, // a test reads the catalogues
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { environment: "happy-dom", include: ["src/**/*.test.ts"] },
}));
