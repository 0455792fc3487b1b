import "@fontsource/inter/cyrillic-400.css";
import "@fontsource/inter/cyrillic-500.css";
import "@fontsource/inter/cyrillic-600.css";
import "@fontsource/inter/latin-400.css";
import "@fontsource/inter/latin-500.css";
import "@fontsource/inter/latin-600.css";
import "@fontsource/jetbrains-mono/latin-400.css";
import "@fontsource/jetbrains-mono/latin-600.css";
import "./fonts.css";
import { speak } from "./core/gettext";
import { tellZone } from "./core/zone";
import { mountIslands } from "./islands/mount";

tellZone();
void speak(document.documentElement.lang).then(() => mountIslands(document));
