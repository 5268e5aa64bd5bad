// SPDX-License-Identifier: Apache-2.0
/// Replaying golden files: small problems with known answers, through any mechanism that names
/// itself like the file.
///
/// Nothing here knows a particular mechanism; what differs between them comes from their
/// annotations and tensor specs.
@NullMarked
package dev.crossover.attention.conformance;

import org.jspecify.annotations.NullMarked;
