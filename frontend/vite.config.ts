import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => ({
  base: "/static/",
  plugins: [svelte()],
  build: {
    outDir: mode === "bench" ? "dist-bench" : "dist", // the bench's entry is never part of what is served
    manifest: true,
    assetsInlineLimit: 0, // the page's policy allows fonts from our own origin only
    rollupOptions: { input: mode === "bench" ? "src/bench/topology.ts" : "src/main.ts" },
  },
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { environment: "happy-dom", include: ["src/**/*.test.ts"] },
}));
