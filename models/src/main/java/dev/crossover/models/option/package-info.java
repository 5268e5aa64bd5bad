/// Options as `key=value` texts.
@NullMarked
package dev.crossover.models.option;

import org.jspecify.annotations.NullMarked;
