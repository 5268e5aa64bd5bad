// SPDX-License-Identifier: Apache-2.0
/// Dense float32 tensors and their readers and writers: `.safetensors`, `.npy`, `.npz`.
///
/// Files come from strangers: every reader treats headers as hostile and answers each fault with
/// one line that names the file and the fault. Nothing here knows what attention is.
@NullMarked
package dev.crossover.attention.tensor;

import org.jspecify.annotations.NullMarked;
