/**
 * Preloaded into a training process: ten minutes and a bit pass between two looks at the clock.
 *
 * @module
 */
let time = 0;
performance.now = () => time += 600_001;
