/// The multi-head layer around any mechanism, so that a layer's time can be measured as well as the
/// core's.
@NullMarked
package dev.crossover.variants.layer;

import org.jspecify.annotations.NullMarked;
