/* cyto -- turn.pml: "one store commits the turn": exactly-once, atomicity,
 * no overwriting of unread records, recovery that may itself be killed.
 *
 * Workers: A takes external inputs 1..NIN, changes its cells x (and sometimes
 * y) and appends a record to B, to C, to both or to none; B forwards to C;
 * C takes from A and from B.  PO reads A's cells.  A crash can hit A, B or C
 * before any shared-memory step, also inside the recovery.
 *
 * Run:  spin -a turn.pml && gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c
 *       ./pan -m2000000            (no error: the protocol as it should be)
 * Bounds:   -DNIN=3 -DCAP=2 -DCRASHES=1   (give them to "spin -a")
 * Parts:    -DPARTS=7  1: worker B   2: consumer C   4: observer of the cells
 *   -DBATCH   1 or 2 inputs a turn (C gets a record of each)   -DTWICE x written twice
 *   -DTOUCH recovery looks only at cells listed in the turn's commit record
 *   -DCELLREAD C reads A's cells   -DJUMP turn numbers leap (Lamport stamps)
 * Holes (each one must give an assertion violation):
 *   -DHDR=1     no terminator; header has its position; recovery moves the cursor back
 *   -DHDR=2     as 1, and recovery erases the first left-over header only
 *   -DHDR=3     no terminator and no position (header says the turn only)
 *   -DNOSCRUB   recovery leaves uncommitted cell slots as they are
 *   -DSCRUB0 -DCELLREAD   ... or tags them 0, which looks like the first version
 *   -DDIRTY     an aborted turn (lane full) leaves its traces
 *   -DNAIVE -DTWICE    always writes the slot with the older tag
 *   -DDELTA     C's commit record holds the changed head only, heads are lazy
 *   -DTAILGATE  consumers look no further than the lazily published tail
 *   -DWALKTAIL  recovery looks for the cursor from the lazily published tail
 *   -DHDRFIRST  the consumer reads header and body before the commit word
 *   -DNOVALID   the cell reader does not look at the tag again
 *   -DTWOREADS  the reader takes a new commit word for the second cell
 *   -DHEADFIRST C publishes its heads before the commit
 *   -DNOPARKPUB C does not publish its lazy heads before it waits
 */
#ifndef NIN
#define NIN 3
#endif
#ifndef CAP
#define CAP 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef PARTS
#define PARTS 7
#endif
#define R     (CAP+1)          /* one slot more than CAP: the terminator's   */
#define TERM  0
#ifdef SCRUB0
#define INV   0                /* hole */
#else
#define INV   255              /* tag of a slot that holds nothing           */
#endif
#define A     0
#define B     1
#define C     2
#define NT    (2*NIN+1)
typedef Lane { byte hdr[R]; byte pos[R]; byte val[R]; byte phead; byte ptail };
typedef Rec  { byte turn; byte h[2] };
typedef Log  { byte v[NIN+1]; byte n };
Lane ln[3];                    /* 0: A->B   1: A->C   2: B->C                */
byte commit[3];                /* the commit words                           */
Rec  cr[6];                    /* two commit records a worker: cr[2*w], +1   */
byte xt[2], xv[2], yt[2], yv[2];   /* cells of A: two slots, tag and value   */

/* ghosts: what the committed turns have done; nobody's memory */
Log  g[3];
#define LOG(l,w) g[l].v[g[l].n] = w; g[l].n++
byte ncrash, gin, ghead[3], hx[NT], hy[NT];
#define OLDREC(w) (cr[2*(w)].turn == commit[w] -> 2*(w) : 2*(w)+1)   /* committed */
#define NEWREC(w) (cr[2*(w)].turn == commit[w] -> 2*(w)+1 : 2*(w))   /* to write  */
/* one shared-memory step; the worker may be killed just before it */
#define S(x)  atomic { if :: x :: ncrash < CRASHES -> ncrash++; goto dead fi }
#define N(x)  x
#ifdef TOUCH                   /* the turn's list of cells: what recovery looks at */
#define LIST(x)   S(x)
#define LISTED(b) (cr[NEWREC(A)].h[1] & b)
#else
#define LIST(x)   skip
#define LISTED(b) true
#endif
#define VIS(l,p,hh) (ln[l].hdr[(hh)%R] != TERM && ln[l].hdr[(hh)%R] <= commit[p] && POSOK(l,hh))
#ifdef TAILGATE
#define CVIS(l,p,hh) (VIS(l,p,hh) && (hh) < ln[l].ptail)
#else
#define CVIS(l,p,hh) VIS(l,p,hh)
#endif
#if !defined(HDR)
#define POSOK(l,hh) true
#define TERMINATE(l,c) S(assert((c) < R || (c)-R < ghead[l]); ln[l].hdr[(c)%R] = TERM)
#else
#define POSOK(l,hh) (HDR == 3 || ln[l].pos[(hh)%R] == (hh))
#define TERMINATE(l,c) skip
#endif
#define ROOM(l,c) if :: c - ln[l].phead >= CAP -> goto abort :: else fi
#define APPEND(l,c,w,t) \
  TERMINATE(l,(c)+1); \
  S(assert((c) < R || (c)-R < ghead[l]); ln[l].val[(c)%R] = w); \
  S(d_step { ln[l].hdr[(c)%R] = t; ln[l].pos[(c)%R] = c }); c++

#ifdef NAIVE                   /* the slot that a turn writes: never the newest committed one */
#define PICK(tt,s) s = (tt[0] <= tt[1] -> 0 : 1)
#else
#define PICK(tt,s) s = (tt[0] > commit[A] || (tt[1] <= commit[A] && tt[0] <= tt[1]) -> 0 : 1)
#endif
#if defined(WALKTAIL) || defined(TAILGATE)
#define WALKFROM(l) ln[l].ptail
#define PUBTAIL if :: S(ln[0].ptail = c0); S(ln[1].ptail = c1) :: skip fi   /* lazy */
#else
#define WALKFROM(l) ln[l].phead
#define PUBTAIL skip
#endif
inline walk(l, p, c) {         /* the cursor behind the last committed record */
  atomic {
    c = WALKFROM(l); n = 0;
    do :: n < R && VIS(l,p,c) -> c++; n++ :: else -> break od; n = 0 }
}
inline putback(l, p, c) {      /* recovery of one output lane */
  walk(l, p, c);
#if !defined(HDR)
  S(ln[l].hdr[c%R] = TERM);
#elif HDR == 2
  if :: ln[l].hdr[c%R] > commit[p] -> S(ln[l].hdr[c%R] = TERM) :: else fi;
#endif
  S(ln[l].ptail = c)
}
#ifdef NOVALID
#define CHANGED(tt) false
#else
#define CHANGED(tt) (tt[s] != a)
#endif
#define READCELL(ST,tt,tv,v) /* the newest slot with tag <= k, or retry */ \
  ST(a = tt[0]); ST(b = tt[1]); \
  atomic { if :: a <= k && (b > k || a >= b) -> s = 0 :: else -> s = 1; a = b fi; \
           if :: a > k -> goto again :: else fi } \
  ST(v = tv[s]); atomic { if :: CHANGED(tt) -> goto again :: else fi }

active proctype PA() {
  byte t, n, i, s, c0, c1, r; bool toB, toC, wy;
start:
  atomic { t = commit[A]+1; i = cr[OLDREC(A)].h[0]; c0 = ln[0].ptail; c1 = ln[1].ptail }
turn:
  if :: i == NIN -> goto fin :: else fi;
  atomic {
    n = 1; r = NEWREC(A);
#ifdef JUMP
    if :: t = commit[A]+1 :: t = commit[A]+2 fi;
#endif
#ifdef BATCH
    if :: i+2 <= NIN -> n = 2 :: skip fi;
#endif
    if :: PARTS & 1 -> toB = 1 :: toB = 0 fi; if :: PARTS & 2 -> toC = 1 :: toC = 0 fi;
    if :: wy = 1 :: wy = 0 fi;
    PICK(xt, s) }
#ifdef TWICE
  S(xt[s] = t); S(xv[s] = 99); d_step { PICK(xt, s) }
#endif
  LIST(cr[r].h[1] = 0); LIST(cr[r].h[1] = 1);
  S(xt[s] = t); S(xv[s] = i+n);
  if :: wy -> d_step { PICK(yt, s) } LIST(cr[r].h[1] = 3); S(yt[s] = t); S(yv[s] = i+n) :: else fi;
  if :: toB -> ROOM(0,c0); APPEND(0,c0,i+n,t) :: else fi;
  if :: toC -> ROOM(1,c1); APPEND(1,c1,i+1,t);
        if :: n == 2 -> ROOM(1,c1); APPEND(1,c1,i+2,t) :: else fi :: else fi;
  S(cr[r].turn = t); S(cr[r].h[0] = i+n);
  S(hy[t] = (wy -> i+n : hy[commit[A]]); hx[t] = i+n;
    commit[A] = t;                            /* ---- the one store ---- */
    assert(gin == i); gin = i+n;              /* every input once         */
    if :: toB -> LOG(0,i+n) :: else fi;
    if :: toC -> LOG(1,i+1); if :: n == 2 -> LOG(1,i+2) :: else fi :: else fi);
  PUBTAIL;
  d_step { i = i+n; t = commit[A]+1; wy = 0; toB = 0; toC = 0; n = 0; s = 0; r = 0 }
  goto turn;
abort:
  (c0 - ln[0].phead < CAP || !toB) && (c1 - ln[1].phead < CAP || !toC);   /* room */
#ifdef DIRTY
  d_step { walk(0, A, c0); walk(1, A, c1); i = cr[OLDREC(A)].h[0] }
  goto turn;
#endif
dead:                       /* rollback and recovery are the same; idempotent */
  atomic { t = 0; i = 0; s = 0; n = 0; c0 = 0; c1 = 0; r = 0; toB = 0; toC = 0; wy = 0 }
#ifndef NOSCRUB
  if :: LISTED(1) && xt[0] > commit[A] -> S(xt[0] = INV) :: else fi;
  if :: LISTED(1) && xt[1] > commit[A] -> S(xt[1] = INV) :: else fi;
  if :: LISTED(2) && yt[0] > commit[A] -> S(yt[0] = INV) :: else fi;
  if :: LISTED(2) && yt[1] > commit[A] -> S(yt[1] = INV) :: else fi;
#endif
#if PARTS & 1
  putback(0, A, c0);
#endif
  putback(1, A, c1);
  goto start;
fin: skip
}
#if PARTS & 1
active proctype PB() {
  byte t, n, h, c, k, e, v, r;
start:
  atomic { t = commit[B]+1; h = cr[OLDREC(B)].h[0]; c = ln[2].ptail }
turn:
end_b: CVIS(0,A,h) && c - ln[2].phead < CAP;
  S(k = commit[A]); S(e = ln[0].hdr[h%R]); assert(e <= k); S(v = ln[0].val[h%R]);
  APPEND(2,c,v,t);
  r = NEWREC(B); S(cr[r].turn = t); S(cr[r].h[0] = h+1);
  S(commit[B] = t; assert(h == ghead[0] && h < g[0].n && v == g[0].v[h]);
    ghead[0] = h+1; LOG(2,v));
  S(ln[0].phead = h+1);
  d_step { h++; t++; k = 0; e = 0; v = 0; r = 0 }
  goto turn;
dead:
  atomic { t = 0; h = 0; c = 0; k = 0; e = 0; v = 0; n = 0; r = 0 }
  putback(2, B, c);
  S(ln[0].phead = cr[OLDREC(B)].h[0]);
  goto start
}
#endif
#if PARTS & 2
active proctype PC() {
  byte t, l, p, k, e, v, s, a, b, r, h[2];
start:
  atomic { t = commit[C]+1; h[0] = cr[OLDREC(C)].h[0]; h[1] = cr[OLDREC(C)].h[1];
#ifdef DELTA
    h[0] = ln[1].phead; h[1] = ln[2].phead
#endif
  }
turn:
  atomic {
    if :: CVIS(1,A,h[0]) -> l = 1; p = A
#ifdef HDRFIRST
       :: ln[1].hdr[h[0]%R] != TERM -> l = 1; p = A
#endif
       :: VIS(2,B,h[1]) -> l = 2; p = B
       :: else -> goto idle fi }
#ifdef HDRFIRST
  S(e = ln[l].hdr[h[l-1]%R]); S(v = ln[l].val[h[l-1]%R]); S(k = commit[p]);
  if :: e > k || e == TERM -> goto turn :: else fi;
#else
  S(k = commit[p]); S(e = ln[l].hdr[h[l-1]%R]); assert(e <= k); S(v = ln[l].val[h[l-1]%R]);
  /* across two lanes: what A sent here in or before the turn B passes on is in sight */
  assert(l == 1 || h[0] >= g[1].n || g[1].v[h[0]] > v || CVIS(1,A,h[0]));
#endif
#ifdef CELLREAD
  if :: l == 2 -> goto go :: else fi;          /* lane against cell */
again:
  S(k = commit[A]);
  READCELL(S, xt, xv, p); assert(p == hx[k] && p >= hx[e]);   /* e: the record's turn */
go:
#endif
  atomic { h[l-1]++; s = 0; a = 0; b = 0; k = 0; p = 0; e = 0 }
  r = NEWREC(C); S(cr[r].turn = t);
#ifdef DELTA
  S(cr[r].h[0] = l); S(cr[r].h[1] = h[l-1]);
#else
  S(cr[r].h[0] = h[0]); S(cr[r].h[1] = h[1]);
#endif
#ifdef HEADFIRST
  S(ln[1].phead = h[0]); S(ln[2].phead = h[1]);
#endif
  S(commit[C] = t;
    assert(h[l-1] == ghead[l]+1 && ghead[l] < g[l].n && v == g[l].v[ghead[l]]);
    ghead[l] = h[l-1]);
  d_step { t++; v = 0; r = 0 }
  if :: S(ln[1].phead = h[0]); S(ln[2].phead = h[1]) :: skip /* later */ fi;
  goto turn;
idle:
#ifndef NOPARKPUB
  S(ln[1].phead = h[0]); S(ln[2].phead = h[1]);
#endif
end_c: CVIS(1,A,h[0]) || VIS(2,B,h[1]);
  goto turn;
dead:
  atomic { t = 0; l = 0; p = 0; k = 0; e = 0; v = 0; s = 0; a = 0; b = 0; r = 0;
           h[0] = 0; h[1] = 0 }
#ifdef DELTA
  if :: commit[C] == 0 -> skip
     :: else -> S(ln[cr[OLDREC(C)].h[0]].phead = cr[OLDREC(C)].h[1]) fi;
#else
  S(ln[1].phead = cr[OLDREC(C)].h[0]);
  S(ln[2].phead = cr[OLDREC(C)].h[1]);
#endif
  goto start
}
#endif
#if PARTS & 4
active proctype PO() {         /* sees all of a turn's cells or none */
  byte k, a, b, s, v, w;
again:
  k = commit[A];
  READCELL(N, xt, xv, v);
#ifdef TWOREADS
  k = commit[A];
#endif
  READCELL(N, yt, yv, w);
  d_step { assert(v <= NIN && v == hx[k] && w == hy[k]);
    k = 0; a = 0; b = 0; s = 0; v = 0; w = 0 }
}
#endif
active proctype Mon() {        /* when nothing can move, all must be done */
end_m: atomic { timeout -> assert(gin == NIN && ghead[0] == g[0].n
                  && ghead[1] == g[1].n && ghead[2] == g[2].n) }
}
