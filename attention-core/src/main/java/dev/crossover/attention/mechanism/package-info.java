// SPDX-License-Identifier: Apache-2.0
/// How a mechanism describes itself: annotations on its record, read by the command line,
/// documentation and conformance.
@NullMarked
package dev.crossover.attention.mechanism;

import org.jspecify.annotations.NullMarked;
