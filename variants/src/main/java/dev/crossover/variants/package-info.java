/// The catalogue of mechanisms; each mechanism is one file in a package of its family.
@NullMarked
package dev.crossover.variants;

import org.jspecify.annotations.NullMarked;
