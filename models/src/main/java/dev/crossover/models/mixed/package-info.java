// SPDX-License-Identifier: Apache-2.0
/// Another mechanism per head in one plan: [dev.crossover.models.mixed.Mixed].
///
/// Heads are gathered by mechanism, run by a plan of that mechanism, and scattered again. No
/// arithmetic of attention lives here.
@NullMarked
package dev.crossover.models.mixed;

import org.jspecify.annotations.NullMarked;
