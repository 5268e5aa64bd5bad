// SPDX-License-Identifier: Apache-2.0
/// The catalogue of mechanisms; each is a record in a package of its family, with its plan,
/// gradient and session beside it.
@NullMarked
package dev.crossover.variants;

import org.jspecify.annotations.NullMarked;
